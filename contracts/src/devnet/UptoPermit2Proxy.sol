// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "../Permit2DepositCollector.sol";
import {Approval, Permit2Proxy} from "./Permit2Proxy.sol";

/// @title Payments of up to the signed amount by Permit2, which one facilitator may settle; stands on the development
///        network where x402 has its own.
contract UptoPermit2Proxy is Permit2Proxy {
    /// @notice Who is paid, who may settle, and from when.
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// @notice EIP-712 type hash of the witness.
    bytes32 public constant WITNESS_TYPEHASH =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    /// @notice The rest of the permit's EIP-712 type, from the witness on.
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    /// @notice Someone other than the facilitator that the payer named.
    error UnauthorizedFacilitator();

    /// @param permit2 The Permit2 contract of this chain.
    constructor(address permit2) Permit2Proxy(permit2) {}

    /// @notice Carry out a payment that its payer has signed; Permit2 must be approved.
    /// @param permit Which token, how much at most, until when.
    /// @param amount How much.
    /// @param owner Who pays.
    /// @param witness Who is paid, who may settle, and from when.
    /// @param signature The payer's, over all but the amount.
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _settle(permit, amount, owner, witness, signature);
        emit Settled();
    }

    /// @notice The same, after approving Permit2 by the payer's EIP-2612 signature.
    /// @param approval The approval, of the most that may be paid.
    /// @param permit Which token, how much at most, until when.
    /// @param amount How much.
    /// @param owner Who pays.
    /// @param witness Who is paid, who may settle, and from when.
    /// @param signature The payer's, over all but the approval and the amount.
    function settleWithPermit(
        Approval calldata approval,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _approve(approval, permit, owner);
        _settle(permit, amount, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
        bytes32 digest =
            keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter));
        _move(permit, owner, amount, witness.to, witness.validAfter, digest, WITNESS_TYPE_STRING, signature);
    }
}
