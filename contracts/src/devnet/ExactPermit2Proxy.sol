// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISignatureTransfer} from "../Permit2DepositCollector.sol";
import {Approval, Permit2Proxy} from "./Permit2Proxy.sol";

/// @title Payments of exactly the signed amount by Permit2; stands on the development network where x402 has its own.
contract ExactPermit2Proxy is Permit2Proxy {
    /// @notice Who is paid, and from when.
    struct Witness {
        address to;
        uint256 validAfter;
    }

    /// @notice EIP-712 type hash of the witness.
    bytes32 public constant WITNESS_TYPEHASH = keccak256("Witness(address to,uint256 validAfter)");

    /// @notice The rest of the permit's EIP-712 type, from the witness on.
    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)";

    /// @param permit2 The Permit2 contract of this chain.
    constructor(address permit2) Permit2Proxy(permit2) {}

    /// @notice Carry out a payment that its payer has signed; Permit2 must be approved.
    /// @param permit Which token, how much, until when.
    /// @param owner Who pays.
    /// @param witness Who is paid, and from when.
    /// @param signature The payer's, over all of it.
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _settle(permit, owner, witness, signature);
        emit Settled();
    }

    /// @notice The same, after approving Permit2 by the payer's EIP-2612 signature.
    /// @param approval The approval, of the payment's amount.
    /// @param permit Which token, how much, until when.
    /// @param owner Who pays.
    /// @param witness Who is paid, and from when.
    /// @param signature The payer's, over all but the approval.
    function settleWithPermit(
        Approval calldata approval,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _approve(approval, permit, owner);
        _settle(permit, owner, witness, signature);
        emit SettledWithPermit();
    }

    function _settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        bytes32 digest = keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.validAfter));
        uint256 amount = permit.permitted.amount;
        _move(permit, owner, amount, witness.to, witness.validAfter, digest, WITNESS_TYPE_STRING, signature);
    }
}
