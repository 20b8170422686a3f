// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {ISignatureTransfer} from "../Permit2DepositCollector.sol";

/// @notice The approval of Permit2 by EIP-2612, as the proxies take it.
struct Approval {
    uint256 value;
    uint256 deadline;
    bytes32 r;
    bytes32 s;
    uint8 v;
}

/// @title What the development network's stand-ins for x402's Permit2 proxies have in common.
/// @notice A proxy is the spender that a payer's Permit2 signature names. It can send the money nowhere but where
///         the signed witness says, so that whoever calls it can only carry out what was signed.
abstract contract Permit2Proxy {
    /// @notice The Permit2 contract of this chain.
    ISignatureTransfer public immutable PERMIT2;

    /// @notice The payment moved.
    event Settled();

    /// @notice The payment moved, after an approval in the same call.
    event SettledWithPermit();

    /// @notice Nobody is to be paid.
    error InvalidDestination();
    /// @notice Nobody pays.
    error InvalidOwner();
    /// @notice Nothing is paid, or more than was signed.
    error InvalidAmount();
    /// @notice The payment is not valid yet.
    error PaymentTooEarly();
    /// @notice The approval is for another amount than the payment.
    error Permit2612AmountMismatch();

    /// @param permit2 The Permit2 contract of this chain.
    constructor(address permit2) {
        PERMIT2 = ISignatureTransfer(permit2);
    }

    /// @dev Fails in silence: whoever sees the approval can use it first, and then it is there all the same.
    function _approve(
        Approval calldata approval,
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner
    ) internal {
        if (approval.value != permit.permitted.amount) {
            revert Permit2612AmountMismatch();
        }
        try IERC20Permit(permit.permitted.token)
            .permit(
                owner, address(PERMIT2), approval.value, approval.deadline, approval.v, approval.r, approval.s
            ) {}
            catch {}
    }

    /// @dev `validAfter` and `to` are parts of the signed witness.
    function _move(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        address owner,
        uint256 amount,
        address to,
        uint256 validAfter,
        bytes32 witness,
        string memory witnessType,
        bytes calldata signature
    ) internal {
        if (to == address(0)) revert InvalidDestination();
        if (owner == address(0)) revert InvalidOwner();
        if (amount == 0 || amount > permit.permitted.amount) revert InvalidAmount();
        if (block.timestamp < validAfter) revert PaymentTooEarly();
        PERMIT2.permitWitnessTransferFrom(
            permit,
            ISignatureTransfer.SignatureTransferDetails({to: to, requestedAmount: amount}),
            owner,
            witness,
            witnessType,
            signature
        );
    }
}
